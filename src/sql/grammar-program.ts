/**
 * The grammar's program, in a module of its own that is loaded on first use. In the packed library
 * this module holds the WebAssembly, too (scripts/embed-grammar.ts): bundlers carry modules along,
 * but not the files beside them.
 */
import load from 'libpg-query/wasm/libpg-query.js';

/** Makes a new instance at each call, with a memory of its own. */
export const instantiate: typeof load = load;
