/** A contender in a process of its own: the parent's end of the channel. Starts it when it is first needed; one that gives no answer is ended. */
import { type ChildProcess, fork } from 'node:child_process';
import { within } from '../../src/cli/demo/deadline.js';
import type { Servers, Spec } from './access.js';
import type { Contender, Heap, Sample, Task } from './contender.js';
import type { Answer, Request } from './worker.js';

/** Beside what was asked to take so long: connecting, a pause for garbage, the last operations of a round. */
const PATIENCE_MILLIS = 20_000;

export class Child implements Contender {
  readonly name: string;
  readonly #spec: Spec;
  readonly #servers: Servers;
  #process: ChildProcess | undefined;

  readonly #node: string | undefined;

  /** @param node the binary that it runs on; `undefined` for that of this process */
  constructor(spec: Spec, servers: Servers, node?: string) {
    this.#node = node;
    this.name = spec.name;
    this.#spec = spec;
    this.#servers = servers;
  }

  async open(task: Task): Promise<void> {
    if (this.#process === undefined) {
      this.#process = fork(new URL('./worker.ts', import.meta.url), {
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

  async #ask<T>(request: Request, millis = 0): Promise<T> {
    const child = this.#process;
    if (child === undefined) throw new Error(`${this.name} has been stopped`);
    try {
      const what = `${this.name}: ${request.ask}`;
      const answer = await within(PATIENCE_MILLIS + millis, what, this.#exchange(child, request));
      if ('error' in answer) throw new Error(`${what}: ${answer.error}`);
      return answer.value as T;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  #exchange(child: ChildProcess, request: Request): Promise<Answer> {
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
