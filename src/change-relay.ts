/**
 * What passes messages about changes from the process that reads the log to all others, such as
 * Redis. It may lose messages: they are numbered, and who hears them sees what is missing.
 */

/** Passes messages from one process to all that listen, on this machine and on others. */
export interface ChangeRelay {
  /**
   * Passes a message on, to each listener in the order of the calls, or loses it. It returns at
   * once, and never throws. It holds a bounded number of messages: what it cannot pass on for now,
   * it loses.
   * @param message at most 1,048,576 characters
   */
  publish(message: string): void;
  /**
   * Hears what any process publishes from now on, this one too. A relay that loses its connection
   * goes on trying by itself until the listening ends.
   * @param heard returns at once, and never throws
   */
  listen(heard: (message: string) => void): RelayListening;
}

/** A listener's place. */
export interface RelayListening {
  /** Hears nothing more, and leaves nothing behind. */
  close(): void;
}

/** In characters: longer messages are neither published nor read. */
export const MAX_RELAY_MESSAGE_LENGTH = 2 ** 20;
