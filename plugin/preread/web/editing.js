// Drawing a line anew by pulling at it: what lies near along the line comes along.

const SHARE = 0.06; // of the line's length that comes along to each side

/** Return what a line becomes when its point nearest to `from` is pulled to `to`. */
export function pulled(polygon, from, to) {
  const count = polygon.length;
  const along = [0];
  for (let i = 1; i <= count; i++) {
    const [a, b] = [polygon[i - 1], polygon[i % count]];
    along.push(along[i - 1] + Math.hypot(a[0] - b[0], a[1] - b[1]));
  }
  const length = along[count] || 1;
  let held = 0;
  for (let i = 1; i < count; i++) {
    if (distance(polygon[i], from) < distance(polygon[held], from)) held = i;
  }
  const [across, down] = [to[0] - from[0], to[1] - from[1]];
  return polygon.map(([column, row], i) => {
    const apart = Math.abs(along[i] - along[held]);
    const away = Math.min(apart, length - apart) / (SHARE * length);
    const weight = Math.exp(-(away * away) / 2);
    return weight < 0.01 ? [column, row] : [column + weight * across, row + weight * down];
  });
}

/** Return how far a point lies from the nearest point of a line's corners, in pixels. */
export function nearest(polygon, point) {
  return Math.min(...polygon.map((corner) => distance(corner, point)));
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
