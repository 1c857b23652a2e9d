/** Replaces a member of etcd by another one, as an operator does (etcd's documentation, "Runtime reconfiguration"). */
import { type EtcdCluster, ETCDCTL, EtcdMember } from "../../harness/etcd.ts";
import { withTestDeadline } from "../../harness/test_deadline.ts";
import { unusedPort } from "../../../src/base/testing/ports.ts";

/** How long to wait before etcd is asked again that has refused a change, in milliseconds. */
const AGAIN_MS = 200;

/**
 * Ends the member `index` and removes it; then another one joins, with no data, which clients reach at `host` and the
 * same port. Resolves when it answers; the caller disposes of it.
 */
export async function replaceMember(
  etcd: EtcdCluster,
  index: number,
  host: string,
): Promise<EtcdMember> {
  const old = etcd.members[index]!;
  const others = etcd.members.filter((each) => each !== old);
  const ctl = (...args: string[]) => etcdctl(others.map(({ endpoint }) => endpoint), args);
  const line = (await ctl("member", "list")).split("\n").find((each) =>
    each.includes(old.endpoint)
  );
  await old.kill();
  await ctl("member", "remove", line!.split(",")[0]!);
  const peer = `http://${host}:${unusedPort()}`;
  // etcd adds nobody before it has been healthy for some seconds.
  const said = await ctl("member", "add", "replaced", `--peer-urls=${peer}`);
  const all = /^ETCD_INITIAL_CLUSTER="(.*)"$/m.exec(said)![1]!;
  const client = `http://${host}:${new URL(old.endpoint).port}`;
  const member = new EtcdMember(client, [
    ...["--name", "replaced", "--data-dir", etcd.folder.at("replaced"), "--logger", "zap"],
    ...["--listen-client-urls", client, "--advertise-client-urls", client],
    ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
    ...["--initial-cluster", all, "--initial-cluster-state", "existing"],
    ...["--heartbeat-interval", "100", "--election-timeout", "1000"],
  ]);
  try {
    member.start();
    await etcd.answers([member]);
    return member;
  } catch (error) {
    await member[Symbol.asyncDispose]();
    throw error;
  }
}

/** Repeats the command until etcd carries it out. */
async function etcdctl(endpoints: readonly string[], args: readonly string[]): Promise<string> {
  let said = "";
  const command = new Deno.Command(ETCDCTL!, {
    args: [`--endpoints=${endpoints.join(",")}`, "--command-timeout=5s", ...args],
  });
  const attempts = async () => {
    for (;;) {
      const { success, stdout, stderr } = await command.output();
      said = new TextDecoder().decode(success ? stdout : stderr);
      if (success) return said;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  };
  return await withTestDeadline(`etcdctl ${args.join(" ")}`, attempts(), () => said);
}
