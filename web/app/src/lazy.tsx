import { type Signal, signal } from "@preact/signals";
import type { ComponentType, JSX } from "preact";
import { Skeleton } from "./skeleton.js";

/** A part of the page whose code is fetched when it is first shown; `Frame` is what stands around its place until then. */
export function lazy<P extends object = object>(load: () => Promise<ComponentType<P>>, Frame: "main" | "section" = "section"): (props: P) => JSX.Element {
  const loaded: Signal<{ part?: ComponentType<P>; problem?: boolean }> = signal({});
  let asked = false;
  const fetchIt = () => {
    asked = true;
    loaded.value = {};
    load().then(
      (part) => (loaded.value = { part }),
      () => (loaded.value = { problem: true }),
    );
  };
  return function Lazy(props: P) {
    if (!asked) queueMicrotask(() => asked || fetchIt());
    const { part: Part, problem } = loaded.value;
    if (Part) return <Part {...props} />;
    return problem ? (
      <Frame class="empty">
        <p class="problem">This page could not be loaded: the server does not answer, or there is a newer one.</p>
        {/* A module that could not be had is not asked for twice: only the whole page is. */}
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
      </Frame>
    ) : (
      <Frame>
        <Skeleton lines={8} />
      </Frame>
    );
  };
}
