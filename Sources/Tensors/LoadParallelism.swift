import Dispatch

/// Splits `count` independent elements into ranges and runs `body` on them on several threads: conversions while a model loads.
///
/// Ranges are disjoint, so `body` may write to what belongs to its range. Each starts at a multiple of 2¹⁸, so that blocks of any
/// quantised type stay whole.
package func inParallel(_ count: Int, _ body: (Range<Int>) -> Void) {
    let grain = 1 << 18
    guard count > grain else { return body(0..<count) }
    withoutActuallyEscaping(body) { body in
        // Safe because the calls share nothing but what they read.
        nonisolated(unsafe) let body = body
        DispatchQueue.concurrentPerform(iterations: (count + grain - 1) / grain) { part in
            body(part * grain..<min(count, (part + 1) * grain))
        }
    }
}
