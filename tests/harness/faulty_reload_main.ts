/** The proxy with a bug: the second change of a service while it runs throws. */
import { ControlPlane } from "../../src/app/control_plane.ts";

const configure = ControlPlane.prototype.configure;
let calls = 0;

ControlPlane.prototype.configure = function (this: ControlPlane, ...args) {
  if (++calls === 2) throw new Error("a bug made by the test");
  configure.apply(this, args);
};

await import("../../src/main.ts");
