import Foundation
import Tensors
import Testing

/// The same cases as the other checks, timed: `GRAFT_TIME_OPS=1 swift test -c release --filter OpTiming`.
///
/// Figures to look at, not to pass or fail by: machines differ and drift.
@Suite("Op timing", .enabled(if: ProcessInfo.processInfo.environment["GRAFT_TIME_OPS"] != nil), .serialized)
struct OpTimingTests {
    @Test("forward and backward, the fastest of five", arguments: opCases)
    func time(_ op: OpCase) {
        let inputs = op.sampleInputs()
        func fastest(on device: Device) -> Double {
            (0..<5).map { _ in
                let start = ContinuousClock.now
                _ = op.evaluate(on: device, inputs: inputs)
                return (ContinuousClock.now - start) / .milliseconds(1)
            }.min() ?? .nan
        }
        let (fast, plain) = (fastest(on: .cpu), fastest(on: .reference))
        Issue.record(
            "\(op.testDescription): \(fast) ms, \(plain / fast) times as fast as the plain loops", severity: .warning)
    }
}
