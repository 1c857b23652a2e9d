/** A data plane for tests of what drives it: every order is in force at once, and nothing is relayed. */
import type { DataPlane } from "../ports.ts";

const done = () => Promise.resolve();

export const IDLE_PLANE: DataPlane = {
  open: done,
  hold: done,
  refuse: done,
  confirm: done,
  drain: done,
  spare: done,
  busy: () => Promise.resolve(0),
};
