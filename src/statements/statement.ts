/**
 * What is known of one text, in one entry: what it means, found out from its words and the
 * catalogue, and what running it has taught. It holds no text: a long one would fill the memory.
 */
import type { Dependencies } from '../sql/dependencies.js';
import type { Classification } from './classification.js';
import { type Definitions, Profile } from './profile.js';

/**
 * What a text means, as the catalogue of one generation has it; see `CurrentCatalog.generation`.
 */
export class Meaning {
  #classification: Classification | undefined;
  #classifiedIn = -1;
  #dependencies: Dependencies | undefined;
  #dependenciesIn = -1;
  /** See `Classifier.digest`; no catalogue changes it. */
  digest: string | undefined;

  /** `undefined` where nothing is known, or only what an older catalogue said. */
  classification(generation: number): Classification | undefined {
    return this.#classifiedIn === generation ? this.#classification : undefined;
  }

  classify(classification: Classification, generation: number): void {
    this.#classification = classification;
    this.#classifiedIn = generation;
  }

  /** `undefined` until they are asked for, and again when the catalogue has changed. */
  dependencies(generation: number): Dependencies | undefined {
    return this.#dependenciesIn === generation ? this.#dependencies : undefined;
  }

  depend(dependencies: Dependencies, generation: number): void {
    this.#dependencies = dependencies;
    this.#dependenciesIn = generation;
  }
}

export class Statement {
  /** Texts that differ in a trailing comment only share one. */
  readonly meaning: Meaning;
  readonly profile: Profile;

  /** @param alike a text that differs in a trailing comment only */
  constructor(text: string, definitions: Definitions, alike?: Statement) {
    this.meaning = alike?.meaning ?? new Meaning();
    this.profile = new Profile(text, definitions, alike?.profile);
  }
}
