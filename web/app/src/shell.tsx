import type { ComponentChildren, JSX, TargetedSubmitEvent } from "preact";
import { useState } from "preact/hooks";
import { Icon, type IconName, Mark } from "./icons.js";
import { guest, signIn, signOut } from "./link.js";
import { follow, path } from "./router.js";
import { setTheme, type Theme, theme } from "./theme.js";
import { Wire } from "./wire.js";

interface Place {
  path: string;
  name: string;
  icon: IconName;
}

/** The applications there are, in the order of the navigation. */
const places: readonly Place[] = [
  { path: "/chat", name: "Chat", icon: "chat" },
  { path: "/chess", name: "Chess", icon: "chess" },
];

/** What stands around every application: the wire, the navigation, and who one is. */
export function Shell({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <div class="shell">
      <Wire />
      <header class="bar">
        <a class="home" href="/" onClick={follow}>
          <Mark /> <span>Carillon</span>
        </a>
        <nav aria-label="Applications">
          {places.map((p) => (
            <a key={p.path} href={p.path} onClick={follow} aria-current={path.value.startsWith(p.path) ? "page" : undefined}>
              <Icon name={p.icon} /> {p.name}
            </a>
          ))}
        </nav>
        <ThemeSwitch />
        {guest.value && (
          <div class="who">
            <span class="small">{guest.value.name}</span>
            <button class="bare" type="button" onClick={signOut} title="Sign out">
              <Icon name="leave" label="Sign out" />
            </button>
          </div>
        )}
      </header>
      {children}
    </div>
  );
}

const themes: Record<Theme, { next: Theme; icon: IconName; says: string }> = {
  auto: { next: "light", icon: "gear", says: "Colours follow the system" },
  light: { next: "dark", icon: "sun", says: "Light" },
  dark: { next: "auto", icon: "moon", says: "Dark" },
};

function ThemeSwitch(): JSX.Element {
  const t = themes[theme.value];
  return (
    <button class="bare theme" type="button" onClick={() => setTheme(t.next)} title={t.says}>
      <Icon name={t.icon} label={t.says} />
    </button>
  );
}

/** Asks for a name; the guest stays the same on this browser until he signs out. */
export function SignIn(): JSX.Element {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    const name = String(new FormData(e.currentTarget).get("name") ?? "").trim();
    if (!name) return setProblem("Enter the name that the others shall see.");
    setBusy(true);
    setProblem("");
    try {
      await signIn(name);
    } catch (err) {
      setProblem(err instanceof Error ? err.message : String(err));
    }
    setBusy(false);
  };
  return (
    <main>
      <form class="signin" onSubmit={submit} noValidate>
        <h1>Who are you?</h1>
        <p class="quiet small">A name is all it takes. You stay the same guest in this browser.</p>
        <label class="small" for="name">
          Name
        </label>
        <input id="name" name="name" maxLength={32} autocomplete="nickname" autofocus aria-describedby="problem" aria-invalid={problem !== ""} />
        <p id="problem" class="problem small" role="alert">
          {problem}
        </p>
        <button class="primary" disabled={busy}>
          Come in
        </button>
      </form>
    </main>
  );
}
