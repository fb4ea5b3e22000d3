import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icons.js";

/** A dialog above the page. Escape closes it. */
export function Dialog({ title, close, children }: { title: string; close(): void; children: ComponentChildren }): JSX.Element {
  const box = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} class="dialog" aria-labelledby="dialog-title" onClose={close} onClick={(e) => e.target === box.current && box.current?.close()}>
      <div class="inside">
        <header>
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="bare" title="Close" onClick={() => box.current?.close()}>
            <Icon name="close" label="Close" size={20} />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
