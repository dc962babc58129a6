/// How far `actual` is from `expected`, at the worst place, in units of the tolerance: at most 1 means close everywhere.
///
/// The tolerance at a place is `absolute + relative · |expected|`. A count that differs, or a value that is not finite where the
/// other is, is infinitely far: a comparison must not pass because there was nothing to compare.
public func distance<Value: BinaryFloatingPoint>(
    _ actual: [Value], _ expected: [Value], relative: Double = 1e-5, absolute: Double = 1e-6
) -> Double {
    guard actual.count == expected.count else { return .infinity }
    var worst = 0.0
    for (a, e) in zip(actual, expected) {
        let (a, e) = (Double(a), Double(e))
        if a == e { continue }
        guard a.isFinite, e.isFinite else { return .infinity }
        worst = max(worst, abs(a - e) / (absolute + relative * abs(e)))
    }
    return worst
}

/// Whether two lists have the same count and are close at every place; see ``distance(_:_:relative:absolute:)``.
public func isClose<Value: BinaryFloatingPoint>(
    _ actual: [Value], _ expected: [Value], relative: Double = 1e-5, absolute: Double = 1e-6
) -> Bool {
    distance(actual, expected, relative: relative, absolute: absolute) <= 1
}

/// Whether two numbers are close; see ``distance(_:_:relative:absolute:)``.
public func isClose<Value: BinaryFloatingPoint>(
    _ actual: Value, _ expected: Value, relative: Double = 1e-5, absolute: Double = 1e-6
) -> Bool {
    isClose([actual], [expected], relative: relative, absolute: absolute)
}
