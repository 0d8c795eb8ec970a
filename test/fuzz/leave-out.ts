/**
 * Delta debugging: leaves out ever smaller parts. Zeller, Hildebrandt: "Simplifying and isolating failure-inducing input",
 * without the step that tries a part alone, which leaving out the rest comes to.
 *
 * @param tries takes the list in the place of the one before where it still shows the finding
 */
export function leaveOut<T>(list: readonly T[], tries: (shorter: readonly T[]) => boolean): readonly T[] {
  let rest = list;
  for (let part = Math.ceil(rest.length / 2); part >= 1 && rest.length > 0; ) {
    let shortened = false;
    // From behind: what came last has hardly led to what was before.
    for (let end = rest.length; end > 0; end -= part) {
      const shorter = [...rest.slice(0, Math.max(end - part, 0)), ...rest.slice(end)];
      if (!tries(shorter)) continue;
      rest = shorter;
      shortened = true;
    }
    if (part === 1 && !shortened) break;
    part = part === 1 ? 1 : Math.ceil(part / 2);
  }
  return rest;
}
