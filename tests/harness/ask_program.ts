/** A check program: sends a request to the upstream in its argument; exit code 0 if that answers. */
import { ask } from "./client.ts";

console.log(await ask(Deno.args[0]!));
