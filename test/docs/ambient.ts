/** The names that blocks of the docs may use without saying where they are from. Types alone: see `stage.ts`. */
import type { Queue } from 'bullmq';
import type { Express } from 'express';
import type pg from 'pg';
import type { Cluster, Session } from 'pg-ladder';
import type { createClient } from 'redis';

export declare const cluster: Cluster;
export declare const pool: pg.Pool;
export declare const session: Session;
export declare const app: Express;
export declare const queue: Queue;
export declare const redis: ReturnType<typeof createClient>;
