import type { ComponentChildren, JSX, TargetedKeyboardEvent } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons.js";

/** Something a menu does. */
export interface Action {
  name: string;
  icon?: IconName;
  danger?: boolean;
  run(): void;
}

/** A button that opens a list of actions. Arrow keys walk, Escape closes, and the focus goes back to the button. */
export function Menu({ label, icon = "dots", actions, children }: { label: string; icon?: IconName; actions: readonly Action[]; children?: ComponentChildren }): JSX.Element {
  const [open, setOpen] = useState(false);
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const l = list.current;
    const b = button.current;
    if (!open || !l || !b) return;
    l.showPopover();
    place(l, b);
    l.querySelector<HTMLElement>("button, select, input")?.focus();
  }, [open]);
  return (
    <>
      <button ref={button} type="button" class="bare" title={label} aria-haspopup="menu" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        <Icon name={icon} label={label} />
      </button>
      {open && (
        <div ref={list} id={id} class="menu" role="menu" aria-label={label} popover="auto" onKeyDown={walk} onToggle={(e) => e.newState === "closed" && setOpen(false)}>
          {actions.map((a) => (
            <button
              key={a.name}
              type="button"
              role="menuitem"
              class={a.danger ? "danger" : ""}
              onClick={() => {
                list.current?.hidePopover();
                button.current?.focus();
                a.run();
              }}
            >
              {a.icon && <Icon name={a.icon} />} {a.name}
            </button>
          ))}
          {children}
        </div>
      )}
    </>
  );
}

/** Puts what floats under its button, and above it where there is more room. */
export function place(floating: HTMLElement, button: HTMLElement): void {
  const b = button.getBoundingClientRect();
  const { width, height } = floating.getBoundingClientRect();
  const margin = 8;
  const below = b.bottom + 4 + height <= innerHeight - margin;
  floating.style.top = `${Math.max(margin, below ? b.bottom + 4 : b.top - 4 - height)}px`;
  floating.style.left = `${Math.min(Math.max(margin, b.right - width), innerWidth - width - margin)}px`;
}

function walk(e: TargetedKeyboardEvent<HTMLDivElement>): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
  if (!step) return;
  const items = [...e.currentTarget.querySelectorAll<HTMLElement>("button, select")];
  const i = items.indexOf(document.activeElement as HTMLElement);
  items[(i + step + items.length) % items.length]?.focus();
  e.preventDefault();
}
