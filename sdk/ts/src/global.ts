// For pages without modules: <script src="carillon.iife.js"></script> gives `Carillon` to all scripts.
import { Carillon } from "./whole.js";

Object.assign(globalThis, { Carillon });
