import { signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

const key = "carillon.theme";

function stored(): Theme {
  const t = localStorage.getItem(key);
  return t === "light" || t === "dark" ? t : "auto";
}

export const theme = signal<Theme>(stored());

/** Applies the theme, and keeps it for the next visit. */
export function setTheme(t: Theme): void {
  theme.value = t;
  if (t === "auto") localStorage.removeItem(key);
  else localStorage.setItem(key, t);
  document.documentElement.dataset["theme"] = t;
}

document.documentElement.dataset["theme"] = theme.value;
