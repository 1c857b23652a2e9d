/** The kind of the option that says where the coordinator of several proxies is. */
import { formatAddress, parseAddress } from "../base/address.ts";
import { ConfigError } from "../base/config_error.ts";
import { type OptionKind, quote, textKind } from "./kinds.ts";

/** Where the proxies of one cluster share their decisions. */
export interface CoordinatorPlace {
  /** `host:port` of each member of etcd, at least one. */
  readonly members: readonly string[];
  /** The name of the cluster of proxies; several clusters can share one etcd. */
  readonly cluster: string;
}

const EXPECTED = "etcd://HOST:PORT,HOST:PORT/CLUSTER";
const CLUSTER = /^[A-Za-z0-9][\w.-]{0,63}$/;
/** A cluster of etcd has at most seven members in practice. */
const MEMBERS_MAX = 16;

/** `etcd://HOST:PORT,…/CLUSTER`. */
export const coordinatorPlace: OptionKind<CoordinatorPlace> = textKind<CoordinatorPlace>({
  metavar: "etcd://HOST:PORT,…/CLUSTER",
  parse(text) {
    const [, list, cluster] = /^etcd:\/\/([^/]+)\/([^/]+)$/.exec(text) ?? [];
    if (list === undefined || cluster === undefined) return new ConfigError(EXPECTED);
    if (!CLUSTER.test(cluster)) {
      return new ConfigError(`${EXPECTED}, where CLUSTER has up to 64 letters, digits and . _ -`);
    }
    const members: string[] = [];
    for (const member of list.split(",")) {
      const address = parseAddress(member);
      if (address instanceof ConfigError || address.kind !== "tcp") {
        return new ConfigError(`${EXPECTED}, without a user or a path in it`);
      }
      const text = formatAddress(address);
      // One that is asked twice would count as two that fail.
      const isListed = members.some((each) => each.toLowerCase() === text.toLowerCase());
      if (isListed) return new ConfigError("each member once", `${quote(text)} twice`);
      members.push(text);
    }
    const isTooLong = members.length > MEMBERS_MAX;
    return isTooLong ? new ConfigError(`at most ${MEMBERS_MAX} members`) : { members, cluster };
  },
  print: ({ members, cluster }) => `etcd://${members.join(",")}/${cluster}`,
});
