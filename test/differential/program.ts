/**
 * What the fuzzer plays: a list of steps, each of which can be taken out without the others losing
 * their meaning. A program is plain data, drawn from a seed, and prints as calls that a reader
 * could type.
 */
import { FORMS, type FormName } from './forms.js';

/** A value of a statement: how it reads, and what makes it anew for each world. */
export interface Value {
  readonly code: string;
  make(): unknown;
}

export interface Statement {
  readonly text: string;
  readonly values?: readonly Value[];
  /** How it is handed over; see forms.ts. */
  readonly form: FormName;
  /** The name that its user gives it. */
  readonly name?: string;
}

/** The doors of the library for a single statement, and of its pools by intent. */
export type Way = 'read' | 'write' | 'query' | 'pool:auto' | 'pool:write' | 'pool:read';
export type Intent = 'auto' | 'write' | 'read';

/** A statement within `transaction`, by its client or joined by async context. */
export type Inner =
  | {
      readonly kind: 'inner';
      readonly by: 'client' | 'read' | 'write' | 'query';
      readonly statement: Statement;
      readonly isCaught: boolean;
    }
  | { readonly kind: 'nested'; readonly body: readonly Inner[]; readonly ending: Ending; readonly isCaught: boolean };

export type Ending = 'return' | 'throw';

export type Step =
  /** All is dropped and made again, or only emptied, behind everybody's back. */
  | { readonly kind: 'reset'; readonly isWhole: boolean }
  | { readonly kind: 'run'; readonly way: Way; readonly statement: Statement }
  /** Several at once; none of them changes what another shows. */
  | { readonly kind: 'together'; readonly runs: readonly { readonly way: Way; readonly statement: Statement }[] }
  | { readonly kind: 'take'; readonly actor: number; readonly intent: Intent }
  | { readonly kind: 'on'; readonly actor: number; readonly statement: Statement }
  | { readonly kind: 'release'; readonly actor: number; readonly isBroken: boolean }
  /** What the actor's client was notified of since it was asked last. */
  | { readonly kind: 'hear'; readonly actor: number; readonly count: number }
  | {
      readonly kind: 'transaction';
      readonly options: { readonly readOnly?: boolean; readonly isolation?: 'repeatable read' | 'serializable' };
      readonly body: readonly Inner[];
      readonly ending: Ending;
    }
  /** A statement of somebody who knows nothing of the library. */
  | { readonly kind: 'foreign'; readonly text: string }
  /**
   * A read that is asked for until the library runs it on a shared connection under a name that is
   * known there.
   */
  | { readonly kind: 'share'; readonly statement: Statement }
  /** As long as the library may take to notice what somebody else has changed. */
  | { readonly kind: 'settle' }
  /** The server ends connections: all idle ones, or an actor's. */
  | { readonly kind: 'kill'; readonly actor: number | 'idle' };

/** How the library is set up for a program. */
export interface Setup {
  readonly lane: boolean;
  readonly namedStatements: boolean;
  /** Whether the program is one session of its own, or the process. */
  readonly isInSession: boolean;
  readonly driver: DriverName;
}

/** pg as it is, or as somebody has changed it. */
export type DriverName = 'plain' | 'rewriting' | 'localised' | 'without status';

export interface Program {
  readonly seed: number;
  readonly setup: Setup;
  readonly steps: readonly Step[];
}

/** How many statements a step sends. */
export function statementCountOf(step: Step): number {
  switch (step.kind) {
    case 'run':
    case 'on':
    case 'foreign':
      return 1;
    case 'together':
      return step.runs.length;
    case 'transaction':
      return 2 + innerCountOf(step.body);
    default:
      return 0;
  }
}

function innerCountOf(body: readonly Inner[]): number {
  return body.reduce((sum, inner) => sum + (inner.kind === 'inner' ? 1 : 2 + innerCountOf(inner.body)), 0);
}

export function printProgram({ seed, setup, steps }: Program): string {
  const head = `// seed ${seed}: lane ${setup.lane ? 'on' : 'off'}, names ${setup.namedStatements ? 'on' : 'off'}, ${
    setup.isInSession ? 'in a session' : 'outside sessions'
  }, driver ${setup.driver}`;
  return [head, ...steps.map(printStep)].join('\n');
}

export function printStep(step: Step): string {
  switch (step.kind) {
    case 'reset':
      return step.isWhole ? 'reset()' : 'empty()';
    case 'run':
      return `${step.way}(${printStatement(step.statement)})`;
    case 'together':
      return `together(\n${step.runs.map(({ way, statement }) => `  ${way}(${printStatement(statement)}),`).join('\n')}\n)`;
    case 'take':
      return `client${step.actor} = pool:${step.intent}.connect()`;
    case 'on':
      return `client${step.actor}.query(${printStatement(step.statement)})`;
    case 'release':
      return `client${step.actor}.release(${step.isBroken ? 'true' : ''})`;
    case 'hear':
      return `client${step.actor} hears ${step.count}`;
    case 'transaction':
      return `transaction(${JSON.stringify(step.options)},\n${printBody(step.body, step.ending, '  ')}\n)`;
    case 'foreign':
      return `somebody else: ${JSON.stringify(step.text)}`;
    case 'share':
      return `query(${printStatement(step.statement)}) // until it shares a connection`;
    case 'settle':
      return 'settle()';
    case 'kill':
      return step.actor === 'idle' ? 'kill idle connections' : `kill client${step.actor}'s connection`;
  }
}

function printBody(body: readonly Inner[], ending: Ending, indent: string): string {
  const lines = body.map((inner) => {
    const caught = inner.isCaught ? ' // caught' : '';
    if (inner.kind === 'inner') return `${indent}${inner.by}(${printStatement(inner.statement)})${caught}`;
    return `${indent}transaction(${caught}\n${printBody(inner.body, inner.ending, `${indent}  `)}\n${indent})`;
  });
  return [...lines, ...(ending === 'throw' ? [`${indent}throw`] : [])].join('\n');
}

function printStatement({ text, values, form, name }: Statement): string {
  return FORMS[form].print(
    JSON.stringify(text),
    values === undefined ? undefined : `[${values.map(({ code }) => code).join(', ')}]`,
    name === undefined ? undefined : JSON.stringify(name),
  );
}
