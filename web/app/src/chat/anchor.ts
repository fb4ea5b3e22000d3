// Keeps what one looks at in its place, whatever is added or taken away around it. Browsers that do this by themselves do
// it only in part (not at the very top, not for what is replaced), so it is done here for all, and switched off in CSS.

const atEndWithin = 48; // px from the end that still count as the end
const remembered = 6; // lines in view that can serve as the fixed point

interface Fixed {
  key: string;
  top: number; // px from the beginning of the list
}

export class Anchor {
  /** The end is in view: then it stays in view. */
  atEnd = true;
  #box: HTMLElement | undefined;
  #list: HTMLElement | undefined;
  #fixed: Fixed[] = [];
  #size = "";
  #until = 0; // while something is being shown, the end does not hold

  /** Takes care of a scrolling box and the list in it, until the function returned is called. `moved` hears of scrolling, once a frame. */
  hold(box: HTMLElement, list: HTMLElement, moved: () => void): () => void {
    this.#box = box;
    this.#list = list;
    let due = false;
    const scrolled = () => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        if (this.#box === box) moved();
      });
    };
    box.addEventListener("scroll", scrolled, { passive: true });
    const sizes = new ResizeObserver(() => this.keep());
    sizes.observe(box);
    sizes.observe(list);
    return () => {
      box.removeEventListener("scroll", scrolled);
      sizes.disconnect();
      this.#box = this.#list = undefined;
    };
  }

  /** Remembers what is in view. */
  look(): void {
    const box = this.#box;
    const list = this.#list;
    if (!box || !list) return;
    // What became larger or smaller since moves the end: that is nobody's scrolling.
    if (this.atEnd && this.#measured(box)) box.scrollTop = box.scrollHeight;
    this.atEnd = performance.now() > this.#until && box.scrollHeight - box.scrollTop - box.clientHeight < atEndWithin;
    this.#fixed = [];
    const lines = list.children as HTMLCollectionOf<HTMLElement>;
    for (let i = firstBelow(lines, box.scrollTop); i < lines.length && this.#fixed.length < remembered; i++) {
      const line = lines[i]!;
      if (line.dataset["key"]) this.#fixed.push({ key: line.dataset["key"], top: line.offsetTop });
    }
  }

  /** Puts what was in view where it was, after the list has changed. */
  keep(): void {
    const box = this.#box;
    const list = this.#list;
    if (!box || !list) return;
    if (this.atEnd) {
      this.#measured(box);
      box.scrollTop = box.scrollHeight;
      return;
    }
    for (const f of this.#fixed) {
      const line = list.querySelector<HTMLElement>(`[data-key="${CSS.escape(f.key)}"]`);
      if (!line) continue;
      if (line.offsetTop !== f.top) box.scrollTop += line.offsetTop - f.top;
      break;
    }
    this.look();
  }

  /** Says if the sizes are others than at the last look. */
  #measured(box: HTMLElement): boolean {
    const size = `${box.clientWidth} ${box.clientHeight} ${box.scrollHeight}`;
    const changed = size !== this.#size;
    this.#size = size;
    return changed;
  }

  toEnd(): void {
    this.atEnd = true;
    this.#until = 0;
    this.keep();
  }

  /** Brings a line into the middle. */
  show(selector: string): void {
    const line = this.#list?.querySelector<HTMLElement>(selector);
    const box = this.#box;
    if (!line || !box) return;
    this.#until = performance.now() + 300;
    box.scrollTop = line.offsetTop - (box.clientHeight - line.offsetHeight) / 2;
    this.look();
    if (line.hasAttribute("tabindex")) line.focus({ preventScroll: true });
  }
}

/** The first line whose end lies below a place. */
function firstBelow(lines: HTMLCollectionOf<HTMLElement>, y: number): number {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    const line = lines[mid]!;
    if (line.offsetTop + line.offsetHeight <= y) low = mid + 1;
    else high = mid;
  }
  return low;
}
