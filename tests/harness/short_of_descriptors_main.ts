/**
 * The proxy on a machine that runs out of descriptors at SIGWINCH, except for so many as the file TEST_FREE says, and
 * has some again at the next SIGWINCH. It says each on stderr.
 */
import { useUpDescriptors } from "./limits.ts";

const file = Deno.env.get("TEST_FREE")!;
let free: (() => void) | undefined;
let few = 0;

Deno.addSignalListener("SIGWINCH", () => {
  if (free === undefined) {
    few = Number(Deno.readTextFileSync(file));
    free = useUpDescriptors(few);
    console.error(`${few} descriptors are left`);
  } else {
    free();
    free = undefined;
    console.error(`${few} descriptors were left, and others are free again`);
  }
});

await import("../../src/main.ts");
