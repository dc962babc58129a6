import Files
import Tensors
import TestSupport
import Testing

@Suite("QR and singular values") struct LinearAlgebraTests {
    /// The fixture's formula.
    private static func grid(_ rows: Int, _ columns: Int) -> ColumnMatrix {
        matrix(rows, columns) { i, j in
            Double((i * 7919 + j * 6133 + i * j * 131 + i * i * 37) % 2048 - 1024) / 1024
        }
    }

    private static func matrix(_ rows: Int, _ columns: Int, _ element: (Int, Int) -> Double) -> ColumnMatrix {
        let values = (0..<rows).flatMap { row in (0..<columns).map { Float(element(row, $0)) } }
        return ColumnMatrix(Tensor(values, shape: [rows, columns]))
    }

    private static func golden(_ section: String, _ name: String) throws -> JSON {
        try #require(
            try JSON(contentsOf: Locations.fixture("linear_algebra/golden.json"))[section]?[name], "\(section) \(name)")
    }

    private static func numbers(_ json: JSON?) -> [Double] { json?.array?.compactMap(\.number) ?? [] }

    /// The largest difference of two matrices, or infinity where their sizes differ.
    private static func distance(_ x: ColumnMatrix, _ y: ColumnMatrix) -> Double {
        guard x.rows == y.rows, x.columns == y.columns else { return .infinity }
        return zip(x.values, y.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    /// How far the columns are from orthonormal.
    private static func skew(_ x: ColumnMatrix) -> Double {
        distance(x.transposed.times(x), matrix(x.columns, x.columns) { $0 == $1 ? 1 : 0 })
    }

    @Test("Q and R are LAPACK's, signs included", arguments: [(1, 1), (12, 5), (5, 12), (9, 9)])
    func orthogonal(_ rows: Int, _ columns: Int) throws {
        let golden = try Self.golden("qr", "\(rows)x\(columns)")
        let (q, r) = Self.grid(rows, columns).thinQR()
        for (found, expected) in [(q, golden["q"]), (r, golden["r"])] {
            let expected = Self.numbers(expected)
            #expect(expected.count == found.values.count)
            for (x, y) in zip(found.transposed.values, expected) { #expect(abs(x - y) < 1e-13) }
        }
    }

    @Test(
        "singular values are numpy's, and the vectors give the same approximation",
        arguments: [(1, 1), (40, 12), (12, 40), (30, 30), (150, 90), (90, 150)])
    func singularValues(_ rows: Int, _ columns: Int) throws {
        let golden = try Self.golden("svd", "\(rows)x\(columns)")
        let all = Self.numbers(golden["values"])
        let rank = try #require(golden["rank"]?.integer)
        let matrix = Self.grid(rows, columns)
        for count in [rank, all.count] {
            let found = SingularValues(of: matrix, rank: count)
            #expect(found.values.count == count)
            for (x, y) in zip(found.values, all) { #expect(abs(x - y) < 1e-13 * all[0] * Double(all.count)) }
            #expect(Self.skew(found.left) < 1e-12 && Self.skew(found.right) < 1e-12)
        }
        let found = SingularValues(of: matrix, rank: rank)
        let product = found.left.scalingColumns(by: found.values).times(found.right.transposed)
        let corner = (0..<min(4, rows)).flatMap { row in (0..<min(4, columns)).map { product[row, $0] } }
        for (x, y) in zip(corner, Self.numbers(golden["approximation"])) { #expect(abs(x - y) < 1e-11) }
    }

    @Test("a product of thin factors is decomposed without being formed")
    func product() throws {
        let (b, a) = (Self.grid(120, 6), Self.grid(6, 100))
        let golden = Self.numbers(try Self.golden("svd", "product")["values"])
        let found = SingularValues(ofProduct: b, a, rank: 6)
        for (x, y) in zip(found.values, golden) { #expect(abs(x - y) < 1e-12 * golden[0]) }
        let product = found.left.scalingColumns(by: found.values).times(found.right.transposed)
        #expect(Self.distance(product, b.times(a)) < 1e-11)
        #expect(SingularValues(ofProduct: b, a, rank: 99).values.count == 6)
    }

    @Test("matrices without full rank, with equal values, or of very different ones keep orthonormal vectors")
    func degenerate() {
        let diagonals: [(String, (Int) -> Double)] = [
            ("nothing", { _ in 0 }), ("equal", { _ in 2 }), ("one", { $0 == 3 ? 5 : 0 }),
            ("graded", { 1 / Double(1 << (2 * ($0 / 8))) }),
        ]
        for size in [10, 100] {
            for (name, diagonal) in diagonals {
                let matrix = Self.matrix(size, size) { $0 == $1 ? diagonal($0) : 0 }
                let expected = (0..<size).map(diagonal).sorted(by: >)
                for count in [4, size] {
                    let found = SingularValues(of: matrix, rank: count)
                    #expect(Self.skew(found.left) < 1e-12, "\(name) \(size) \(count)")
                    #expect(Self.skew(found.right) < 1e-12, "\(name) \(size) \(count)")
                    for (x, y) in zip(found.values, expected) { #expect(abs(x - y) <= 1e-14 * max(1, y), "\(name)") }
                }
            }
            let rankTwo = Self.matrix(size, size + 7) { Double($0 % 3) + Double($1 % 5) }
            let found = SingularValues(of: rankTwo, rank: 6)
            #expect(found.values[2] < 1e-11 * found.values[0])
            #expect(Self.skew(found.left) < 1e-12 && Self.skew(found.right) < 1e-12)
        }
    }
}
