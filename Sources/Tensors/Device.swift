import CKernels

/// A kernel table with a name: where a tensor's memory lives and what computes on it.
///
/// Nothing above this module names a device. ``reference`` runs every op as plain loops in double precision; the tests hold the
/// processor's own table against it.
public struct Device: @unchecked Sendable {
    let kernels: kernel_table
    private let identity: UnsafePointer<kernel_table>

    private init(_ table: UnsafePointer<kernel_table>) {
        identity = table
        kernels = table.pointee
    }

    /// The processor.
    public static let cpu = Device(graft_kernel_table())
    /// The plain loops.
    public static let reference = Device(graft_reference_table())

    /// The kernel path chosen at run time. Bits are promised on one path only, so checkpoints record it.
    public var path: String { kernels.path().map { String(cString: $0) } ?? "" }

    /// The number of threads that kernels run on. Setting 0 asks for one a core.
    public var threads: Int {
        get { Int(kernels.threads()) }
        nonmutating set { kernels.set_threads(Int32(clamping: newValue)) }
    }

    /// Whether the time that each kind of work takes is kept. Setting true begins from nothing.
    public func keepWorkTimes(_ keep: Bool) { kernels.keep_work_times(keep) }

    /// Seconds by kind of work since ``keepWorkTimes(_:)``, longest first.
    public var workTimes: [(work: String, seconds: Double, calls: Int)] {
        var times = [work_time](repeating: work_time(), count: 64)
        let count = Int(kernels.work_times(&times, Int32(times.count)))
        return times.prefix(count).map {
            (String(cString: $0.work), Double($0.nanoseconds) * 1e-9, Int($0.calls))
        }.sorted { $1.seconds < $0.seconds }
    }

    /// What the device's memory holds now.
    public var memory: MemoryStatistics {
        let statistics = kernels.memory()
        return MemoryStatistics(
            usedBytes: Int(statistics.used_bytes), cachedBytes: Int(statistics.cached_bytes),
            peakUsedBytes: Int(statistics.peak_used_bytes), systemAllocations: Int(statistics.system_allocations))
    }

    /// Gives cached memory back to the system and starts the peak anew.
    public func trim() { kernels.trim() }

    static func == (a: Device, b: Device) -> Bool { a.identity == b.identity }
}

/// Bytes held by a device's allocator.
public struct MemoryStatistics: Sendable {
    /// Held by live tensors.
    public var usedBytes: Int
    /// Free, kept for the next tensor.
    public var cachedBytes: Int
    /// The most that live tensors ever held at once.
    public var peakUsedBytes: Int
    /// Calls that reached the system since the start; a training step makes none once the largest batch has been seen.
    public var systemAllocations: Int
}
