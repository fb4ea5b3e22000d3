import type { JSX } from "preact";

// One drawn set on a grid of 20, with lines of 1.5.
const shapes = {
  at: "M13 10a3 3 0 1 1-6 0 3 3 0 0 1 6 0Zm0 0v1.200a2 2 0 0 0 4 0V10a7 7 0 1 0-2.800 5.600",
  back: "M12 4.500 6.500 10l5.500 5.500",
  ban: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM5 5l10 10",
  bell: "M5 14h10l-1.300-2V8.500a3.700 3.700 0 0 0-7.400 0V12L5 14Zm3.600 2.500a1.600 1.600 0 0 0 2.800 0",
  chat: "M3 5.500h14v9h-7.500L6 17.500v-3H3z",
  check: "m4 10.500 4 4 8-9",
  chess: "M6.500 17h7m-6-2.500h5L11.800 9M7.500 14.500 8.200 9m-1.700 0h7M10 9a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5Z",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm0-11v4l2.600 1.700",
  close: "m5 5 10 10M15 5 5 15",
  console: "M3 4.500h14v11H3zM6 8l2.300 2L6 12m4.500.200h3.500",
  crown: "M4 14.500h12L17 7l-3.800 2.800L10 5 6.800 9.800 3 7z",
  dice: "M4 4h12v12H4zM7.500 7.500h.01M12.500 12.500h.01M12.500 7.500h.01M7.500 12.500h.01M10 10h.01",
  docs: "M5 3h6.500L15 6.500V17H5zM11.500 3v3.500H15M7.500 10h5m-5 3h5",
  down: "m5 8 5 5 5-5",
  dots: "M4.500 10a.7.7 0 1 0 1.400 0 .7.7 0 1 0-1.400 0m4.800 0a.7.7 0 1 0 1.400 0 .7.7 0 1 0-1.400 0m4.800 0a.7.7 0 1 0 1.400 0 .7.7 0 1 0-1.400 0",
  edit: "m4 16 .6-3.200L13.400 4l2.600 2.600-8.800 8.800z",
  gear: "M10 12.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5Zm0-9.500v2m0 10v2M3 10h2m10 0h2M5.050 5.050l1.400 1.400m7.100 7.100 1.400 1.400m0-9.900-1.400 1.400m-7.100 7.100-1.400 1.400",
  hash: "M7.500 3.500 6 16.500M14 3.500l-1.500 13M4 7.500h13M3 12.500h13",
  leave: "M11.500 5V3.500h-8v13h8V15M8 10h9m-3-3 3 3-3 3",
  link: "M8.500 11.500a3 3 0 0 0 4.200 0l2.800-2.800a3 3 0 0 0-4.200-4.200l-.8.800M11.500 8.500a3 3 0 0 0-4.200 0l-2.800 2.800a3 3 0 0 0 4.200 4.200l.800-.8",
  lock: "M5.500 9h9v7.500h-9zM7 9V6.500a3 3 0 0 1 6 0V9",
  moon: "M16 11.500A6.500 6.500 0 0 1 8.500 4a6.500 6.500 0 1 0 7.500 7.500Z",
  mute: "M4 8v4h2.500L10 15V5L6.500 8zM13 8l4 4m0-4-4 4",
  people: "M7.500 9.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm-5 7c0-3 2-5 5-5s5 2 5 5M13 9.500a2.500 2.500 0 1 0-.6-5M14.500 12c1.800.5 3 2.200 3 4.500",
  plug: "M7 3v4m6-4v4M5 7h10v2.500a5 5 0 0 1-10 0zm5 7.500V17",
  plus: "M10 4v12M4 10h12",
  reply: "M8 5 3.500 9.500 8 14M4 9.500h7c3 0 5.500 1.500 5.500 6",
  scissors: "M6 8.500a2 2 0 1 0 0-4 2 2 0 0 0 0 4Zm0 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM7.700 7.500 17 14m-9.300-1.500L17 6",
  search: "M9 14.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11Zm4-1.500 4 4",
  send: "m3.500 10 13-6-4 12.500-3-5z",
  shield: "M10 3l6 2v4.500c0 3.700-2.500 6.300-6 7.500-3.500-1.200-6-3.800-6-7.500V5z",
  smile: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM7.500 8h.01M12.500 8h.01M7 11.500c1.500 2.300 4.500 2.300 6 0",
  sun: "M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm0-10v1.500M10 15.500V17M3 10h1.500m11 0H17M5 5l1.100 1.100m7.800 7.800L15 15m0-10-1.100 1.100m-7.800 7.800L5 15",
  trash: "M4 6h12M8 6V4h4v2m-6.500 0 .7 10.500h7.600L14.500 6",
  warn: "M10 3.500 17.500 16.500h-15zM10 8.500v3.500m0 2.200v.01",
} as const;

export type IconName = keyof typeof shapes;

/** A drawn sign. Without `label` it is decoration. */
export function Icon({ name, size = 16, label }: { name: IconName; size?: 16 | 20; label?: string }): JSX.Element {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
      role={label ? "img" : undefined}
      aria-label={label}
      aria-hidden={label ? undefined : true}
    >
      <path d={shapes[name]} />
    </svg>
  );
}

/** Five bells, one struck. */
export function Mark({ size = 24 }: { size?: number }): JSX.Element {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="var(--accent)" stroke-width="1.4" stroke-linejoin="round" aria-hidden="true">
      <path d="M1 4.500h22" stroke-linecap="round" />
      <path d="M1.800 9.600h2.400l-.5-.9V7.400a.7.7 0 0 0-1.400 0v1.300zM5.600 10.700h2.900l-.6-1V7.600a.85.85 0 0 0-1.700 0v2.100zM9.700 12h3.300l-.7-1.200V8a.95.95 0 0 0-1.900 0v2.800zM14 13.300h3.700l-.8-1.300V8.200a1.050 1.050 0 0 0-2.100 0V12z" />
      <path d="M18 15.800h5.600l-1.200-2V8.900a1.600 1.600 0 0 0-3.200 0v4.900z" fill="var(--accent)" />
      <circle cx="20.800" cy="18.300" r="1.200" fill="var(--accent)" stroke="none" />
    </svg>
  );
}
