/** What `auto` says of the reads that nobody has asked caches for: what it would save to keep their answers, in words and numbers. */
import { printable } from '../printable.js';
import type { AdviceVerdict, CourseState } from './auto-course.js';
import type { WatchedStatement } from './watched.js';

/** What `auto` has learnt. A snapshot that never changes. */
export interface CacheAdvice {
  /** See the option `cache.auto`. */
  readonly mode: 'observe' | 'on';
  /** Reads that asked for no cache, nor for none, about. */
  readonly readCount: number;
  /** Those of them that were looked at. */
  readonly sampledCount: number;
  /** Those whose text was met for the first time. */
  readonly anewCount: number;
  /** Statements of which `pg_stat_statements` has told, see the option `cache.auto`; 0 where no server tells. */
  readonly seededCount: number;
  /** By how much they save, the most first; at most 50. */
  readonly statements: readonly StatementAdvice[];
}

/** One statement: all texts that differ in their constants only. */
export interface StatementAdvice {
  /** What it is called in events and warnings, see `explain()`. */
  readonly digest: string;
  readonly verdict: AdviceVerdict;
  /** Why, in a sentence. */
  readonly because: string;
  readonly state: CourseState;
  /** The relations that it depends on, as `schema.name`, with commas between them. */
  readonly tables: string;
  readonly callsPerSecond: number;
  /** The share of its reads whose text had never come before, 0 to 1. */
  readonly anewShare: number;
  /** How many exact keys of it are watched: texts with their values. */
  readonly keyCount: number;
  /** What a read of it takes, the way to the server included: the mean, and the 99th percentile of the latest 128. */
  readonly costMillis: number;
  readonly costP99Millis: number | undefined;
  /** What the server says that it takes, by `pg_stat_statements`; `undefined` where it does not say. */
  readonly serverMillis: number | undefined;
  /** The mean size of an answer, as JSON. */
  readonly resultBytes: number;
  /** The share of its reads that a kept answer serves, or would, by the rule of caches: 0 to 1. */
  readonly hitShare: number;
  /**
   * Answers that a cache would have given, and that were what the server said, and those that were
   * not; while they are given, those that were read anew. Old ones fade.
   */
  readonly agreedCount: number;
  readonly differedCount: number;
  /** How often the answer to one exact key changes; `undefined` while too little was compared. */
  readonly changesPerSecond: number | undefined;
  /** Commits that change its tables, as far as the option `changes` hears of all; else `undefined`. */
  readonly writesPerSecond: number | undefined;
  /** What caching it saves, or would: statements that no server runs, their time, and how much its 99th percentile falls. */
  readonly savedStatementsPerSecond: number;
  readonly savedMillisPerSecond: number;
  readonly savedP99Millis: number;
}

const MOST_STATEMENTS = 50;
/** What is left of fewer has faded. */
const LEAST_ANEW = 0.1;

const BECAUSE: Readonly<Record<Exclude<AdviceVerdict, 'never'>, string>> = {
  pays: 'its reads come again, and kept answers were what the servers said',
  changing: 'kept answers were too often not what the servers said',
  unrepeated: 'too few of its reads ask for what was read shortly before, or their sessions may not see it',
  little: 'it would save next to nothing',
  unknown: 'too little was seen of it',
  anew: 'its text is written anew each time: send values as parameters',
};

export function adviceOn(statement: WatchedStatement, keyCount: number): StatementAdvice {
  const { digest, verdict, obstacle, course, tables, evidence, assessment, writesPerSecond, server } = statement;
  const { callCount, anewCount, changes, costs } = evidence;
  const { agreedCount, differedCount } = course.state === 'serving' ? changes.comparisons : evidence.comparisons;
  const because = verdict === 'never' ? printable(obstacle ?? '') : BECAUSE[verdict];
  const { perMilli } = changes;
  return Object.freeze({
    digest,
    verdict,
    because,
    state: course.state,
    tables: tables.map((table) => printable(table)).join(', '),
    callsPerSecond: (assessment?.callsPerSecond ?? 0) + (assessment?.anewPerSecond ?? 0),
    anewShare: anewCount < LEAST_ANEW ? 0 : anewCount / (anewCount + callCount),
    keyCount,
    costMillis: evidence.costMillis,
    costP99Millis: costs.percentile(0.99),
    serverMillis: server?.millis,
    resultBytes: evidence.bytes,
    hitShare: assessment?.hitShare ?? 0,
    agreedCount: Math.round(agreedCount),
    differedCount: Math.round(differedCount),
    changesPerSecond: perMilli === undefined ? undefined : perMilli * 1_000,
    writesPerSecond,
    savedStatementsPerSecond: assessment?.savedStatementsPerSecond ?? 0,
    savedMillisPerSecond: assessment?.savedMillisPerSecond ?? 0,
    savedP99Millis: assessment?.savedP99Millis ?? 0,
  });
}

/** The most saving ones first. */
export function ranked(statements: readonly StatementAdvice[]): readonly StatementAdvice[] {
  const saves = ({ verdict, savedMillisPerSecond }: StatementAdvice): number =>
    verdict === 'pays' ? savedMillisPerSecond : -1;
  return Object.freeze(
    statements.toSorted((a, b) => saves(b) - saves(a) || b.callsPerSecond - a.callsPerSecond).slice(0, MOST_STATEMENTS),
  );
}
