// Keys of the page, wherever on it somebody is but in a field.

/**
 * Have keys do what they are for, and list them for who looks for them.
 *
 * @param list gets a line for each.
 * @param keys are `[[key, ...], words, act]` each.
 * @param fail is called with the error of one that failed.
 */
export function listenTo(keys, list, fail) {
  for (const [names, words] of keys) {
    const [key, word] = [document.createElement("dt"), document.createElement("dd")];
    [key.textContent, word.textContent] = [names.join(" "), words];
    list.append(key, word);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    const found = keys.find(([names]) => names.includes(event.key));
    if (!found) return;
    event.preventDefault();
    Promise.resolve(found[2]()).catch(fail);
  });
}
