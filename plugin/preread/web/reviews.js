// The reviews that a proposal has had, a line for each.

export function listReviews(list, reviews) {
  const items = reviews.map((one) => {
    const item = document.createElement("li");
    item.textContent = line(one);
    return item;
  });
  list.replaceChildren(...items);
}

function line({ Version, Outcome, Reviewer, Date: date, Decisions, State, Reason, Comment }) {
  const count = (verdict) => Decisions.filter((each) => each.Decision === verdict).length;
  const stored = State === "done" ? "" : ` (${State}${Reason && `: ${Reason}`})`;
  return (
    `${Version}. ${Outcome} by ${Reviewer}, ${new Date(date).toLocaleString()}: ` +
    `${count("accept")} accepted, ${count("reject")} rejected${stored}` +
    (Comment && ` — ${Comment}`)
  );
}
