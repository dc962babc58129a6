/// Watches a run's metrics for what a falling loss does not show, and takes what other parts of it find.
public final class HealthMonitor {
    /// What is watched, and how closely.
    public let limits: HealthLimits
    private var raised: [(name: String, sentence: String)] = []

    /// Watches by some limits.
    public init(_ limits: HealthLimits = HealthLimits()) { self.limits = limits }

    /// An alarm of the step under way, from a part of the run that found something itself.
    ///
    /// - Parameters:
    ///   - name: what it is called; of several of one name in a run the first counts.
    ///   - sentence: what is wrong, without a full stop.
    public func raise(_ name: String, _ sentence: String) { raised.append((name, sentence)) }

    /// Looks at a step.
    ///
    /// - Parameters:
    ///   - step: its number, from 1.
    ///   - measured: the metrics measured in it; not those repeated from a step before.
    ///   - state: what the alarms remember, from the checkpoint of a resumed run.
    /// - Returns: the alarms that fire for the first time, which become part of `state`.
    public func check(step: Int, measured: [String: Double], _ state: inout HealthState) -> [FiredAlarm] {
        state.history.append(measured)
        let history = state.history
        raised += HealthAlarms.registered.compactMap { alarm in
            alarm.fault(in: history, limits).map { (name: alarm.name, sentence: $0) }
        }
        return collect(step: step, &state)
    }

    /// Takes what was raised since the last look, such as by an evaluation after the last step.
    ///
    /// - Parameters:
    ///   - step: the steps done.
    ///   - state: what the alarms remember.
    /// - Returns: the alarms that fire for the first time, which become part of `state`.
    public func collect(step: Int, _ state: inout HealthState) -> [FiredAlarm] {
        var fired: [FiredAlarm] = []
        for (name, sentence) in raised where !(state.fired + fired).contains(where: { $0.name == name }) {
            fired.append(FiredAlarm(name: name, step: step, sentence: sentence))
        }
        raised = []
        state.fired += fired
        return fired
    }
}
