// The reviews that a proposal has had, a line for each.

export function listReviews(list, reviews) {
  const items = reviews.map((one) => {
    const item = document.createElement("li");
    item.textContent = line(one);
    return item;
  });
  list.replaceChildren(...items);
}

/** Who decided: the user, with the name that was typed; or that name alone, unchecked. */
function who({ Reviewer, Authenticated, TypedName }) {
  if (!Authenticated) return `${Reviewer} (not authenticated)`;
  return TypedName ? `${Reviewer} (${TypedName})` : Reviewer;
}

function line(review) {
  const { Version, Outcome, Date: date, Decisions, State, Reason, Comment } = review;
  const count = (verdict) => Decisions.filter((each) => each.Decision === verdict).length;
  const stored = State === "done" ? "" : ` (${State}${Reason && `: ${Reason}`})`;
  return (
    `${Version}. ${Outcome} by ${who(review)}, ${new Date(date).toLocaleString()}: ` +
    `${count("accept")} accepted, ${count("reject")} rejected${stored}` +
    (Comment && ` — ${Comment}`)
  );
}
