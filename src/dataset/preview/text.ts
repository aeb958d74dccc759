/**
 * Text as lines, because an SVG `<text>` shows nothing on a machine without fonts, which servers often are. There are capital
 * letters, digits and some signs on a grid of 4 × 6; each glyph is a list of strokes, and each stroke a list of points `xy`.
 */
const GLYPHS: Readonly<Record<string, string>> = {
  A: "0602204246 0444",
  B: "00063645443303 3342413000",
  C: "4130100105163645",
  D: "00062644422000",
  E: "40000646 0333",
  F: "400006 0333",
  G: "41301001051636454323",
  H: "0006 4046 0343",
  I: "1030 2026 1636",
  J: "4045361605",
  K: "0006 400346",
  L: "000646",
  M: "0600234046",
  N: "06004640",
  O: "103041453616050110",
  P: "06003041423303",
  Q: "103041453616050110 2446",
  R: "06003041423303 2346",
  S: "413010010213334445361605",
  T: "0040 2026",
  U: "000516364540",
  V: "002640",
  W: "0016233640",
  X: "0046 4006",
  Y: "002340 2326",
  Z: "00400646",
  "0": "103041453616050110 0541",
  "1": "112026 1636",
  "2": "01103041420646",
  "3": "0110304142334445361605 1333",
  "4": "36300444",
  "5": "4000023243453606",
  "6": "30100105163645443303",
  "7": "004016",
  "8": "103041423313020110 1304051636454433",
  "9": "16364541301001021343",
  ".": "2626",
  ",": "2516",
  ":": "2222 2525",
  "-": "1333",
  "+": "2125 0343",
  "=": "0242 0444",
  _: "0646",
  "/": "0640",
  "#": "1016 3036 0242 0444",
  "(": "30111536",
  ")": "10313516",
  "%": "0640 0000 4646",
  "°": "1030321210",
  "×": "0145 4105",
  ">": "014305",
  "<": "410345",
  "…": "0606 2626 4646",
};
const ADVANCE = 6;
/** The glyph of a letter that has none of its own. */
const BOX = "0040460600";

/**
 * Returns the SVG path data of a line of text.
 *
 * @param x  the left edge
 * @param y  the upper edge
 * @param height  the height of a capital letter
 */
export function textPath(text: string, x: number, y: number, height: number): string {
  const unit = height / 6;
  const parts: string[] = [];
  for (const [i, letter] of [...text.toUpperCase()].entries()) {
    if (letter === " ") continue;
    for (const stroke of (GLYPHS[letter] ?? BOX).split(" ")) {
      const points = stroke.match(/../g) ?? [];
      const at = points.map((point) => {
        const px = x + (i * ADVANCE + Number(point[0])) * unit;
        const py = y + Number(point[1]) * unit;
        return `${px.toFixed(1)} ${py.toFixed(1)}`;
      });
      // A stroke of one point twice is a dot. It is drawn as a short line, because a line of no length is not drawn everywhere.
      if (at[0] === at[1]) parts.push(`M${at[0]}l0.1 0`);
      else parts.push(`M${at.join("L")}`);
    }
  }
  return parts.join("");
}
