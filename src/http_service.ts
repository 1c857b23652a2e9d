import type { HttpConfig } from "./config/options.ts";
import type { Starter } from "./service.ts";
export function httpStarter(_config: HttpConfig): Starter {
  throw new Error("not yet");
}
