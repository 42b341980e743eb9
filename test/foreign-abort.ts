/** An AbortController as a browser's test environment has it, or an old polyfill: not Node's, and it warns of no leaks. */
type Listener = () => void;

class ForeignSignal {
  aborted = false;
  reason: unknown;
  readonly listeners = new Set<Listener>();

  addEventListener(_: 'abort', listener: Listener): void {
    this.listeners.add(listener);
  }

  removeEventListener(_: 'abort', listener: Listener): void {
    this.listeners.delete(listener);
  }
}

export class ForeignController {
  readonly signal = new ForeignSignal();

  abort(reason?: unknown): void {
    Object.assign(this.signal, { aborted: true, reason });
    for (const listener of this.signal.listeners) listener();
  }
}

/** To be put into the global places. */
export const foreignGlobals = {
  AbortController: ForeignController,
  AbortSignal: ForeignSignal,
  EventTarget: class ForeignTarget {},
  Event: class ForeignEvent {},
};
