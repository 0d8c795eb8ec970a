import { describe, expect, test } from "bun:test";
import type { Stats } from "../../src/index.ts";
import { runText } from "../packetdrill/files.ts";
import { Settings } from "../packetdrill/run/settings.ts";
import { catchPrey, play, runSeed } from "./hunt.ts";
import { formatJournal, type Journal, parseJournal } from "./journal.ts";
import { leaveOut } from "./leave-out.ts";
import type { RoundOptions } from "./round.ts";
import { Finding } from "./world.ts";

/** An oracle that is wrong on purpose: what it objects to happens all the time. */
function objecting(isBad: (stats: Stats) => boolean): RoundOptions {
  return {
    check: ({ victim }) => {
      if (isBad(victim.stack.stats)) throw new Finding("objection", "it has happened");
    },
  };
}

/** Rounds that making something small may take here. */
const TRIALS = 400;
/** Frames of the round in which it is found. */
const FRAMES = 2_000;

const framesOf = ({ items }: Journal) => items.flatMap((item) => (item.kind === "burst" ? item.frames : []));

describe("what is found is made small", () => {
  test("one frame of thousands, with the flag that matters and nothing else", () => {
    const options = objecting(
      ({ tcpUrgentIgnored, tcpChallengeAcks }) => tcpUrgentIgnored + tcpChallengeAcks > 0,
    );
    const { finding } = runSeed(2, FRAMES, options);
    expect(finding?.rule).toBe("objection");
    const { journal, script } = catchPrey(2, FRAMES, options, TRIALS);
    const frames = framesOf(journal);
    expect(frames.length).toBe(1);
    // Headers, without options and without text.
    expect(frames[0].length).toBe(40);
    expect(journal.scenario.flavour).toBe("idle");
    expect(script).toMatch(/^ *\+[0-9.]+ < [-FSRP.UEW]+ [0-9]+:[0-9]+\(0\)/m);
    expect(script).toContain("> S");
  });

  test("two that have to come together stay together", () => {
    const options = objecting(({ tcpBadChecksum, udpNoPort }) => tcpBadChecksum > 0 && udpNoPort > 0);
    const { journal, script } = catchPrey(4, FRAMES, options, TRIALS);
    expect(framesOf(journal).length).toBe(2);
    expect(journal.items.every((item) => item.kind === "burst")).toBe(true);
    // The language has no words for a wrong checksum.
    expect(script).toContain("// raw ");
  });

  test("many that fill a limit: none too many", () => {
    const options = objecting(({ tcpChallengeAcks }) => tcpChallengeAcks >= 5);
    expect(framesOf(catchPrey(15, FRAMES, options, TRIALS).journal).length).toBe(5);
  });
});

test("its script is one: where the stack was right, it passes", () => {
  const options = objecting(({ tcpChallengeAcks }) => tcpChallengeAcks > 1);
  // One that connects, with keep-alive and timestamps; one that is connected to; one that is half closed.
  for (const seed of [0, 1, 8]) {
    const { script } = catchPrey(seed, FRAMES, options, TRIALS);
    expect(runText(`seed ${seed}`, script, new Settings()).failure).toBeNull();
    // What it expects counts: the last answer, once more.
    const twice = script.replace(/( \+0 > [^\n]*\n)(?=\/\/ Here)/, "$1$1");
    expect(twice.length).toBeGreaterThan(script.length);
    expect(runText(`seed ${seed}`, twice, new Settings()).failure).not.toBeNull();
  }
});

describe("a journal", () => {
  const options = objecting(({ tcpBadChecksum }) => tcpBadChecksum > 3);

  test("is played again, from its text, with the same end", () => {
    const { journal, text, message } = catchPrey(3, FRAMES, options, TRIALS);
    const read = parseJournal(text);
    expect(read).toEqual(journal);
    expect(play(read, options).finding?.message).toBe(message);
    expect(play({ ...read, items: [] }, options).finding).toBeNull();
  });

  test("says where it is not one", () => {
    expect(() => parseJournal("burst\nfrme 00")).toThrow("line 2 is neither");
    expect(() => parseJournal("# nothing")).toThrow("there is no scenario");
    const { journal } = catchPrey(3, FRAMES, options, TRIALS);
    expect(parseJournal(formatJournal(journal, "two\nlines"))).toEqual(journal);
  });
});

describe("leaving out", () => {
  const list = Array.from({ length: 1_000 }, (_, i) => i);

  test("ends at what is needed, wherever that is", () => {
    for (const needed of [[0], [999], [3, 500, 998], [10, 11, 12], list.slice(100, 140)]) {
      let trials = 0;
      const rest = leaveOut(list, (shorter) => {
        trials++;
        return needed.every((each) => shorter.includes(each));
      });
      expect(rest).toEqual(needed);
      expect(trials).toBeLessThan(1_000);
    }
  });

  test("of what needs nothing, nothing is left; of what needs all, all", () => {
    expect(leaveOut(list, () => true)).toEqual([]);
    expect(leaveOut([1, 2, 3], () => false)).toEqual([1, 2, 3]);
  });
});
