import { describe, expect, test } from "bun:test";
import { runPython, type Value } from "./python/evaluate.ts";

const given = { tcpi_snd_cwnd: 10, tcpi_options: 7, tcpi_state: 1, TCP_ESTABLISHED: 1 };
const run = (code: string, variables = new Map<string, Value>()) => runPython(code, variables, given);

describe("what holds", () => {
  const cases = [
    "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
    "assert 5 < tcpi_snd_cwnd <= 10 and not tcpi_snd_cwnd > 10",
    "assert (tcpi_options & 2) != 0, 'options=%d' % tcpi_options",
    "assert tcpi_state == TCP_ESTABLISHED; assert tcpi_options == (1 | 2 | 4)",
    "assert -7 // 2 == -4 and -7 % 3 == 2 and 7 / 2 == 3.5 and 2 ** 10 == 1 << 10",
    "assert ~5 == -6 and 6 ^ 3 == 5 and 0xff >> 4 == 15",
    "assert abs(-3) == 3 and min(4, 2) == 2 and max([1, 9]) == 9 and len('four') == 4",
    "assert str(7) == '7' and 'a' + \"b\" == 'ab' and '%05.2f|%x' % (3.14159, 255) == '03.14|ff'",
    "assert f'{tcpi_snd_cwnd} {tcpi_options:03d}' == '10 007' and '{} {}'.format(1, 2) == '1 2'",
    "assert 3 in (1, 2, 3) and 4 not in [1, 2] and None is not True",
    "assert True == 1 and (1 if False else 2) == 2",
    "x = 1; x += 2; assert x == 3",
    "if tcpi_snd_cwnd == 10: assert 1\nelse: assert 0",
    "if tcpi_snd_cwnd > 10:\n  assert 0\nelif tcpi_snd_cwnd == 10:\n  x = 1\n  y = 2\nelse:\n  assert 0\nassert x + y == 3",
    "\n   assert 1\n   assert 2 # as the script is indented\n",
    "assert (tcpi_snd_cwnd ==\n  10)",
    "assert 1;\\\n  assert 2;\\\n",
    "pass",
  ];
  for (const code of cases) test(code.replaceAll("\n", " / "), () => expect(run(code).failure).toBeNull());
});

describe("what does not, with the values", () => {
  const cases: [string, string][] = [
    ["assert tcpi_snd_cwnd == 12", "assertion failed: tcpi_snd_cwnd == 12, with tcpi_snd_cwnd = 10"],
    [
      "assert tcpi_snd_cwnd == 12, 'cwnd'",
      "assertion failed: tcpi_snd_cwnd == 12 (cwnd), with tcpi_snd_cwnd = 10",
    ],
    ["assert tcpi_gone", 'the name "tcpi_gone" is not defined'],
    ["assert 1 // 0", "a division by zero"],
    ["import os", '"import" is not supported'],
    ["assert open('x')", 'the function "open" is not supported'],
    ["assert constructor", 'the name "constructor" is not defined'],
    ["assert toString()", 'the function "toString" is not supported'],
    ["assert (1", "a parenthesis is not closed"],
    ["assert 1 ? 2", '"? 2" is not understood'],
    ["assert 1 2", 'expected the end of the line, found "2"'],
    ["x = 'a' - 1", "'a' is no number"],
  ];
  for (const [code, failure] of cases) test(code, () => expect(run(code).failure).toBe(failure));
});

test("variables last from one piece of code to the next, and print is heard", () => {
  const variables = new Map<string, Value>();
  run("before = tcpi_snd_cwnd", variables);
  expect(run("print('was', before)\nprint before", variables)).toEqual({
    failure: null,
    printed: ["was 10", "10"],
  });
});
