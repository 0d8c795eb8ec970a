import { expect, test } from "bun:test";
import { parseScript } from "./language/parse.ts";
import { mutations } from "./mutate.ts";

const lies = (text: string) =>
  mutations(parseScript("t.pkt", text)).map(
    ({ claim, line, was, is }) => `${line} ${claim.kind}: ${was} -> ${is}`,
  );

test("everything that a packet claims is falsified, one by one", () => {
  expect(lies("0 > [ect0] P. 1:11(10) ack 5 win 65535 <mss 1460,nop,nop,TS val 1 ecr 7>")).toEqual([
    "1 time: 0 -> 1",
    "1 ip: ect0 -> ect1",
    "1 flags: P. -> .",
    "1 flags: P. -> FP.",
    "1 flags: P. -> RP.",
    "1 flags: P. -> SP.",
    "1 sequence: 1:11(10) -> 2:12(10)",
    "1 sequence: 1:11(10) -> 1:12(11)",
    "1 sequence: 1:11(10) -> 1:10(9)",
    "1 ack: 5 -> 6",
    "1 window: 65535 -> 65534",
    "1 option: 1460 -> 1461",
    "1 option: 7 -> 8",
  ]);
});

test("what is put on the wire claims nothing, and neither does an event at any time", () => {
  expect(lies("0 < S 0:0(0) win 1000 <mss 1460>\n* > R 1:1(0)")).toEqual([
    "2 flags: R -> PR",
    "2 flags: R -> FR",
    "2 flags: R -> -",
    "2 flags: R -> SR",
    "2 sequence: 1:1(0) -> 2:2(0)",
    "2 sequence: 1:1(0) -> 1:2(1)",
  ]);
});

test("results, errors, values and assertions", () => {
  expect(lies("0 read(4, ..., 10) = 10")).toEqual(["1 result: 10 -> 11"]);
  expect(lies("0 read(4, ..., 10) = -1 EAGAIN (x)")).toEqual([
    "1 result: -1 -> 0",
    "1 errno: EAGAIN -> EINVAL",
  ]);
  expect(lies("0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0")).toEqual([
    "1 value: 0 -> 1",
    "1 result: 0 -> 1",
  ]);
  expect(lies("0 %{ assert a == 10 and b < 0.5, 'a=10' }%")).toHaveLength(1);
  expect(lies("0 > icmp unreachable port_unreachable")).toContain(
    "1 icmp: unreachable port_unreachable -> echo_reply",
  );
});

test("a descriptor is a name: that there is one is the claim", () => {
  expect(lies("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")).toEqual(["1 result: 3 -> -1"]);
});

test("the text around a lie is as it was", () => {
  const [first] = mutations(parseScript("t.pkt", "// before\n0 read(4, ..., 10) = 10 // behind\n"));
  expect(first?.text).toBe("// before\n0 read(4, ..., 10) = 11 // behind\n");
});
