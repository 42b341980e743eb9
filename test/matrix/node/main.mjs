import * as ladder from 'pg-ladder';
import * as http from 'pg-ladder/http';
import * as testing from 'pg-ladder/testing';
import app from './app.cjs';

await app(ladder, testing, http);
