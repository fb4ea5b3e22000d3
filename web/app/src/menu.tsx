import type { ComponentChildren, JSX, Ref, TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons.js";

/** Something a menu does. */
export interface Action {
  name: string;
  icon?: IconName;
  danger?: boolean;
  run(): void;
}

interface Listed {
  label: string;
  actions: readonly Action[];
  children?: ComponentChildren;
}

/** A button that opens a list of actions. */
export function Menu({ icon = "dots", ...listed }: Listed & { icon?: IconName }): JSX.Element {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  return (
    <>
      <MenuButton button={button} label={listed.label} icon={icon} open={open} onClick={() => setOpen(!open)} />
      {open && <MenuList {...listed} button={() => button.current} close={() => setOpen(false)} />}
    </>
  );
}

interface Pressed {
  label: string;
  open: boolean;
  onClick(): void;
  icon?: IconName;
  button?: Ref<HTMLButtonElement>;
}

/** The button of a menu alone, for a menu that is drawn elsewhere. */
export function MenuButton({ label, open, onClick, icon = "dots", button }: Pressed): JSX.Element {
  return (
    <button {...(button && { ref: button })} type="button" class="bare" title={label} aria-haspopup="menu" aria-expanded={open} onClick={onClick}>
      <Icon name={icon} label={label} />
    </button>
  );
}

/** The open list of a menu, placed by its button. Arrow keys walk, Escape closes, and the focus goes back to the button. */
export function MenuList({ label, actions, children, button, close }: Listed & { button(): HTMLElement | null; close(): void }): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const l = list.current;
    const b = button();
    if (!l || !b) return;
    l.showPopover();
    place(l, b);
    l.querySelector<HTMLElement>("button, select, input")?.focus();
  }, []);
  const closed = (): void => {
    const has = document.activeElement;
    if (has === document.body || list.current?.contains(has)) button()?.focus(); // the button that had it before is gone
    close();
  };
  return (
    <div ref={list} class="menu" role="menu" aria-label={label} popover="auto" onKeyDown={walk} onToggle={(e) => e.newState === "closed" && closed()}>
      {actions.map((a) => (
        <button
          key={a.name}
          type="button"
          role="menuitem"
          class={a.danger ? "danger" : ""}
          onClick={() => {
            list.current?.hidePopover();
            button()?.focus();
            a.run();
          }}
        >
          {a.icon && <Icon name={a.icon} />} {a.name}
        </button>
      ))}
      {children}
    </div>
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
