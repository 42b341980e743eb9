/** Warnings that would else come with every request: each code is told once. */
import type { WarningEvent } from '../events.js';
import type { CarrierTools } from '../session/runner.js';

export class OneTimeWarnings {
  readonly #tools: CarrierTools;
  readonly #told = new Set<string>();

  constructor(tools: CarrierTools) {
    this.#tools = tools;
  }

  warn(code: WarningEvent['code'], message: string): void {
    if (this.#told.has(code)) return;
    this.#told.add(code);
    this.#tools.warn(() => ({ code, message }));
  }
}
