import { render } from "preact";
import type { JSX } from "preact";
import "./style/tokens.css";
import "./style/base.css";
import "./style/wire.css";
import "./style/shell.css";
import { guest } from "./link.js";
import { path } from "./router.js";
import { Shell, SignIn } from "./shell.js";

function App(): JSX.Element {
  return <Shell>{guest.value ? <main>{path.value}</main> : <SignIn />}</Shell>;
}

const root = document.getElementById("app");
if (root) render(<App />, root);
