/** Ends what began with the call that returned it; may be called twice. */
export type Off = () => void;

/** Listeners by the name of an event. One that throws hinders neither us nor the others: its error is reported. */
export class Emitter<Events extends object> {
  #listeners = new Map<keyof Events, Set<(value: never) => void>>();

  on<K extends keyof Events>(name: K, f: (value: Events[K]) => void): Off {
    let set = this.#listeners.get(name);
    if (!set) this.#listeners.set(name, (set = new Set()));
    const entry = (value: Events[K]) => f(value); // the same function may listen twice
    set.add(entry);
    return () => void set.delete(entry);
  }

  emit<K extends keyof Events>(name: K, value: Events[K]): void {
    for (const f of this.#listeners.get(name) ?? []) {
      try {
        (f as (value: Events[K]) => void)(value);
      } catch (e) {
        report(e);
      }
    }
  }

  has(name: keyof Events): boolean {
    return !!this.#listeners.get(name)?.size;
  }

  clear(): void {
    this.#listeners.clear();
  }
}

/** Resolves once `done` holds, or rejects with what `failed` gives, judged now and at each change of state. */
export function reached(events: { on(name: "state", f: () => void): Off }, done: () => boolean, failed: () => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const error = failed();
      if (done()) resolve();
      else if (error) reject(error);
      else return;
      off();
    };
    const off = events.on("state", look);
    look();
  });
}

function report(e: unknown): void {
  if (typeof reportError === "function") reportError(e);
  else queueMicrotask(() => { throw e; });
}
