// A prediction is one click: its outputs and what is said about them unfold together.
const PART = ".tag_prediction, .reading";

document.addEventListener("toggle", ({ target }) => {
  let part = target.open ? target.closest(PART) : null;
  while (part?.previousElementSibling?.matches(".tag_prediction")) part = part.previousElementSibling;
  for (; part?.matches(PART); part = part.nextElementSibling) {
    const fold = part.matches("details") ? part : part.querySelector("details.below-input");
    if (fold) fold.open = true;
    if (part.matches("details")) break;  // what follows is another prediction
  }
}, true);
