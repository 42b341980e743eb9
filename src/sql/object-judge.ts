/**
 * Whether an object of the catalogue hides something that only the primary can do: a function, a
 * relation, a type. It follows definitions to whatever they name. What is not proven to be harmless
 * is a write.
 */
import { builtIns } from './built-ins.js';
import type { CatalogObjects } from './catalog-objects.js';
import type { FunctionRow, RelationRow, TypeRow } from './catalog-rows.js';
import { bodyText, type DefinitionReader, expressionText, MAX_DEFINITION_LENGTH } from './definition-reader.js';
import type { Facts } from './facts.js';
import { builtIn, DECLARED, each, type Judgement, SAFE, within, worstOf } from './judgement.js';
import type { Given } from './overloads.js';
import type { Name } from './tree.js';
import { isBuiltIn } from './type-kin.js';
import type { Verdicts } from './verdicts.js';

const TOO_LONG: Judgement = { class: 'write', because: 'its definition is too long to be read' };
/** Words that the body of a reading plpgsql function does not have. */
const WRITING_WORDS = new Set(
  'insert update delete merge truncate execute copy lock notify listen create alter drop grant revoke call'.split(' '),
);

/** Judges the statements of a definition: what the names in them stand for. */
export type JudgeStatements = (facts: Facts, given: Given | undefined) => Judgement;

export class ObjectJudge {
  readonly #objects: CatalogObjects;
  readonly #reader: DefinitionReader;
  readonly #verdicts: Verdicts;
  readonly #declared: ReadonlySet<string>;
  readonly #judgeStatements: JudgeStatements;

  /** @param declared VOLATILE functions that only read, as `schema.name` or `schema.name(types)` */
  constructor(
    objects: CatalogObjects,
    reader: DefinitionReader,
    verdicts: Verdicts,
    declared: readonly string[],
    judgeStatements: JudgeStatements,
  ) {
    this.#objects = objects;
    this.#reader = reader;
    this.#verdicts = verdicts;
    this.#declared = new Set(declared.map((name) => name.replace(/\s*([(),])\s*/g, '$1')));
    this.#judgeStatements = judgeStatements;
  }

  function(row: FunctionRow): Judgement {
    return this.#verdicts.once(row, () => {
      const name = `${row.schema}.${row.name}`;
      if (this.#declared.has(name) || this.#declared.has(`${name}(${row.signature.replaceAll(', ', ',')})`))
        return DECLARED;
      // Who installs an extension trusts it; its overloads of common names must not keep everybody
      // on the primary.
      if (row.isOfExtension && row.volatility !== 'v') return SAFE;
      if (row.body !== null && row.body.length > MAX_DEFINITION_LENGTH) return within(`function ${name}`, TOO_LONG);
      if (row.parts !== null) return within(`aggregate ${name}`, worstOf(each(row.parts, (part) => this.part(part))));
      if (row.language === 'sql' && row.body !== null) {
        const anywhere = row.hasOwnPath ? this.#words(row.body) : SAFE;
        const body = this.#text(bodyText(row.body), givenTo(row));
        return within(`function ${name}`, worstOf([anywhere, body]));
      }
      if (row.language === 'plpgsql' && row.body !== null && row.volatility !== 'v') {
        return within(`function ${name}`, this.#words(row.body));
      }
      // Its source names C code, which a superuser alone can bind; some of it goes by another name
      // than its function.
      if (row.language === 'internal' && row.body !== null && row.volatility !== 'v') {
        return within(`function ${name}`, builtIn(row.body.replace(/_oid$/, '')));
      }
      const what = row.volatility === 'v' ? 'is VOLATILE' : `is written in ${row.language}`;
      return { class: 'write', because: `function ${name} ${what}: declare it in readOnlyFunctions if it only reads` };
    });
  }

  /** The function behind something else: its oid, or the name of a built-in one. */
  part(part: string): Judgement {
    const row = this.#objects.functionOf(part);
    if (row !== undefined) return this.function(row);
    return builtIns.has(part)
      ? builtIn(part)
      : { class: 'write', because: `a function of which nothing is known (${part})` };
  }

  /**
   * Types choose among operators of one name, and are not all worked out: one in C must not keep
   * every `=` on the primary.
   */
  behindOperator(part: string): Judgement {
    const row = this.#objects.functionOf(part);
    return row?.language === 'c' && row.volatility !== 'v' ? SAFE : this.part(part);
  }

  /** The default arguments that a call of so many arguments leaves to the function. */
  defaults({ schema, name, argCount, defaults }: FunctionRow, count: number | undefined): Judgement {
    if (defaults === null || (count !== undefined && count >= argCount)) return SAFE;
    return within(`a default argument of ${schema}.${name}`, this.#expression(defaults, { types: [] }));
  }

  /** What may run when a function or an operator is given something of another type. */
  arguments(types: string): Judgement {
    const own = types.split(' ').filter((type) => !isBuiltIn(type));
    return within('a cast of an argument', worstOf(each(own, (type) => this.#argument(type))));
  }

  #argument(type: string): Judgement {
    const casts = this.#objects.casts.filter(([, target]) => target === type);
    return worstOf([
      worstOf(each(casts, ([, , part]) => this.part(part))),
      worstOf(each(this.#objects.checksOf(type), (condition) => this.#expression(condition, { types: [type] }))),
    ]);
  }

  relation(row: RelationRow): Judgement {
    return this.#verdicts.once(row, () => {
      const name = `${row.schema}.${row.name}`;
      if (row.persistence === 'u') return { class: 'write', because: `${name} is UNLOGGED: a replica cannot read it` };
      if (row.persistence === 't') return { class: 'session', because: `${name} is temporary` };
      if (row.kind === 'S') return { class: 'write', because: `${name} is a sequence: a replica runs ahead of it` };
      if (row.kind === 'f') return { class: 'write', because: `${name} is a foreign table` };
      const judgements = [
        ...(row.policies ?? []).map((condition) =>
          within('row security', this.#expression(condition, { relation: row })),
        ),
        ...(row.definition === null ? [] : [this.#text(row.definition)]),
      ];
      return within(row.kind === 'v' ? `view ${name}` : name, worstOf(judgements));
    });
  }

  /** What the columns that a statement names, or compares unnamed, bring with them. */
  hidden(row: RelationRow, { columns, comparesUnnamed }: Facts): Judgement {
    for (const entry of row.hidden ?? []) {
      const at = entry.lastIndexOf(' ');
      const column = entry.slice(0, at);
      if (!comparesUnnamed && !columns.has(column)) continue;
      const judgement = this.part(entry.slice(at + 1));
      if (judgement.class !== 'read') return within(`a cast or comparison of ${column}`, judgement);
    }
    return SAFE;
  }

  /** All types that a name can mean. */
  type(name: Name): Judgement {
    return worstOf(each(this.#objects.types(name), (row) => this.#typeRow(row)));
  }

  #typeRow(row: TypeRow): Judgement {
    return this.#verdicts.once(row, () => {
      const [name = '', schema] = (row.base ?? '').split('.').reverse();
      const judgements = [
        ...(row.casts ?? []).map((part) => this.part(part)),
        ...(row.checks ?? []).map((condition) => this.#expression(condition, { types: [row.oid] })),
        ...(row.base === null ? [] : [this.type({ schema, name })]),
      ];
      return within(`type ${row.schema}.${row.name}`, worstOf(judgements));
    });
  }

  #expression(text: string, given: Given): Judgement {
    return this.#text(expressionText(text), given);
  }

  #text(text: string, given?: Given): Judgement {
    if (text.length > MAX_DEFINITION_LENGTH) return TOO_LONG;
    const facts = this.#reader.facts(text);
    if (facts === undefined) return { class: 'write', because: 'its definition could not be read' };
    return this.#judgeStatements(facts, given);
  }

  /**
   * A body in plpgsql is not SQL: it is believed unless it names something that is not harmless.
   */
  #words(body: string): Judgement {
    const tokens = this.#reader.tokens(body);
    if (tokens === undefined) return { class: 'write', because: 'its body could not be read' };
    let found = SAFE;
    for (const [i, { text, isQuoted }] of tokens.entries()) {
      if (!isQuoted && WRITING_WORDS.has(text)) return { class: 'write', because: `it says ${text.toUpperCase()}` };
      const judgement = tokens[i + 1]?.text === '(' ? this.#named(text) : this.#mentioned(text);
      if (judgement.class !== 'read') return judgement;
      if (judgement.isDeclared === true) found = judgement;
    }
    return found;
  }

  /** A function by its name alone, whatever its schema and arguments are. */
  #named(name: string): Judgement {
    const own = worstOf(each(this.#objects.functionsNamed(name), (row) => this.function(row)));
    return builtIns.has(name) ? worstOf([builtIn(name), own]) : own;
  }

  #mentioned(name: string): Judgement {
    return worstOf(each(this.#objects.relationsNamed(name), (row) => this.relation(row)));
  }
}

/** Types that the body of a function may have without naming them. */
export function givenTo({ takes, gives }: FunctionRow): Given {
  return { types: [...takes.split(' '), ...gives.split(' ')] };
}
