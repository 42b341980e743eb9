/** A contender in a process of its own: the parent's end of the channel. Starts it when it is first needed; one that gives no answer is ended. */
import { type ChildProcess, fork } from 'node:child_process';
import { within } from '../../src/cli/demo/deadline.js';
import type { Servers, Spec } from './access.js';
import type { Contender, Heap, Sample, Task } from './contender.js';
import type { Answer, Request } from './worker.js';

/** Beside what was asked to take so long: connecting, a pause for garbage, the last operations of a round. */
const PATIENCE_MILLIS = 20_000;

/** What a worker is told; see there. */
type Told<S, T> =
  | Exclude<Request, { ask: 'load' | 'open' }>
  | { ask: 'load'; spec: S; servers: Servers }
  | { ask: 'open'; task: T };

export class Child<S extends { readonly name: string } = Spec, T = Task> implements Contender<T> {
  readonly name: string;
  readonly #spec: S;
  readonly #servers: Servers;
  #process: ChildProcess | undefined;

  readonly #node: string | undefined;
  readonly #worker: URL;

  /**
   * @param node the binary that it runs on; `undefined` for that of this process
   * @param worker what runs there
   */
  constructor(spec: S, servers: Servers, node?: string, worker = new URL('./worker.ts', import.meta.url)) {
    this.#node = node;
    this.#worker = worker;
    this.name = spec.name;
    this.#spec = spec;
    this.#servers = servers;
  }

  async open(task: T): Promise<void> {
    if (this.#process === undefined) {
      this.#process = fork(this.#worker, {
        stdio: ['ignore', 2, 2, 'ipc'],
        ...(this.#node === undefined ? {} : { execPath: this.#node }),
      });
      await this.#ask({ ask: 'load', spec: this.#spec, servers: this.#servers });
    }
    await this.#ask({ ask: 'open', task });
  }

  round(millis: number): Promise<Sample> {
    return this.#ask<Sample>({ ask: 'round', millis }, millis);
  }

  close(): Promise<Heap> {
    return this.#ask<Heap>({ ask: 'close' });
  }

  stop(): void {
    this.#process?.kill('SIGKILL');
    this.#process = undefined;
  }

  async #ask<R>(request: Told<S, T>, millis = 0): Promise<R> {
    const child = this.#process;
    if (child === undefined) throw new Error(`${this.name} has been stopped`);
    try {
      const what = `${this.name}: ${request.ask}`;
      const answer = await within(PATIENCE_MILLIS + millis, what, this.#exchange(child, request));
      if ('error' in answer) throw new Error(`${what}: ${answer.error}`);
      return answer.value as R;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  #exchange(child: ChildProcess, request: Told<S, T>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        child.off('message', answered).off('exit', ended).off('error', failed);
      };
      const answered = (answer: unknown) => {
        settle();
        resolve(answer as Answer);
      };
      const ended = () => {
        settle();
        reject(new Error(`${this.name}: its process has ended`));
      };
      const failed = (error: Error) => {
        settle();
        reject(error);
      };
      child.once('message', answered).once('exit', ended).once('error', failed);
      child.send(request, (error) => error && failed(error));
    });
  }
}
