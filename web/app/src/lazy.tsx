import { type Signal, signal } from "@preact/signals";
import type { ComponentType, JSX } from "preact";
import { Skeleton } from "./chat/side.js";

/** A page whose code is fetched when it is first shown. */
export function lazy(load: () => Promise<ComponentType>): () => JSX.Element {
  const loaded: Signal<{ page?: ComponentType; problem?: boolean }> = signal({});
  let asked = false;
  const fetchIt = () => {
    asked = true;
    loaded.value = {};
    load().then(
      (page) => (loaded.value = { page }),
      () => (loaded.value = { problem: true }),
    );
  };
  return function Lazy() {
    if (!asked) queueMicrotask(() => asked || fetchIt());
    const { page: Page, problem } = loaded.value;
    if (Page) return <Page />;
    return problem ? (
      <main class="empty">
        <p class="problem">This page could not be loaded.</p>
        {/* A module that could not be had is not asked for twice: only the whole page is. */}
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
      </main>
    ) : (
      <main>
        <Skeleton lines={8} />
      </main>
    );
  };
}
