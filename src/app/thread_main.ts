/** The main file of a thread that moves bytes: loads the code of the shards that it may be given. */
import { runThread } from "../threads/thread.ts";

runThread({
  http: async () => (await import("./http_shard.ts")).httpShard,
  tcp: async () => (await import("../relay/splice/worker_relay.ts")).relayShard,
});
