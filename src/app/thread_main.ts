/** The main file of a thread that moves bytes: loads the code of the guests that it may be given. */
import { runThread } from "../threads/thread.ts";

runThread({
  http: async () => (await import("./http_guest.ts")).guestKind,
  tcp: async () => (await import("../relay/splice/worker_relay.ts")).guestKind,
});
