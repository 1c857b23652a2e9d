/** Describes an error while this process can open nothing, and one after that. Linux only. */
import { describe } from "../describe.ts";
import { forbidDescriptors } from "../../../tests/harness/limits.ts";

const allow = forbidDescriptors();
const line = describe(new TypeError("a bug"));
allow();
console.log(line);
console.log(describe(new TypeError("another")));
