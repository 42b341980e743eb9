/** In the place of `src/clock.ts`, where a test plays the library's own time: whatever the global ones are at the moment. */
export const performance = { now: () => globalThis.performance.now() };
export const wallMillis = () => Date.now();
export const setTimeout = (fn: () => void, millis?: number) => globalThis.setTimeout(fn, millis);
export const clearTimeout = (timer?: NodeJS.Timeout) => globalThis.clearTimeout(timer);
export const setInterval = (fn: () => void, millis?: number) => globalThis.setInterval(fn, millis);
export const clearInterval = (timer?: NodeJS.Timeout) => globalThis.clearInterval(timer);
export const setImmediate = (fn: () => void) => globalThis.setImmediate(fn);
