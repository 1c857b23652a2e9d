/** A check program: asks the upstream given as its argument who it is; exit code 0 if it answers. */
import { ask } from "./client.ts";

console.log(await ask(Deno.args[0]!));
