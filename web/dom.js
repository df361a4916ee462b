/** Making and updating elements. Text goes in as text, never as markup. */

/** An element; `text` is its text, other properties are attributes (`class`, `aria-label`, ...). */
export function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text only for those who listen. */
export function unseen(text) {
  return element("span", { class: "unseen", text });
}

/** Set a text only where it is another: a screen reader may read it again otherwise. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/**
 * Make the children of `list` those of `lines`, in order, by their `key`.
 *
 * A child whose line reads the same stays as it is, so focus and what a
 * screen reader is at stay too. Returns the children that are new.
 */
export function updateList(list, lines, make) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const added = [];
  let place = list.firstElementChild;
  for (const line of lines) {
    const written = JSON.stringify(line);
    let child = known.get(line.key);
    known.delete(line.key);
    if (!child || child.dataset.line !== written) {
      const made = make(line);
      made.dataset.key = line.key;
      made.dataset.line = written;
      if (child) {
        if (place === child) {
          place = made;
        }
        replace(child, made);
      } else {
        added.push(made);
      }
      child = made;
    }
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      list.insertBefore(child, place);
    }
  }
  known.forEach((child) => child.remove());
  return added;
}

/** Replace an element; whoever stood on its link or button stands on that of the new one. */
function replace(old, made) {
  const hadFocus = old.contains(document.activeElement);
  old.replaceWith(made);
  if (hadFocus) {
    made.querySelector("a, button")?.focus({ preventScroll: true });
  }
}
