/**
 * The part of the package that makes a new instance at each call; its front door keeps one for
 * ever, damaged or not.
 */
declare module 'libpg-query/wasm/libpg-query.js' {
  interface GrammarModule {
    /** Its memory; another array after it has grown. */
    readonly HEAPU8: Uint8Array;
    _malloc(byteCount: number): number;
    _free(at: number): void;
    getValue(at: number, type: 'i32'): number;
    UTF8ToString(at: number): string;
    _wasm_parse_query_raw(text: number): number;
    _wasm_free_parse_result(result: number): void;
    _wasm_fingerprint(text: number): number;
    _wasm_scan(text: number): number;
    _wasm_free_string(at: number): void;
  }
  function load(options: { print(): void; printErr(): void }): Promise<GrammarModule>;
  export = load;
}
