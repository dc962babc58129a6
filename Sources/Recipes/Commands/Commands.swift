import Datasets
import Trainers

/// What the program's commands do, one entry point each, without arguments to parse or anything printed.
///
/// A command's result is returned or handed out in pieces; what is worth saying on the way goes to a ``RunObserver``.
public enum Commands {}

/// What an evaluation measured, as ``Commands`` hand it out.
public typealias EvaluationResult = Trainers.EvaluationResult
/// What ``Commands/evaluatePairs(_:adapters:options:observer:)`` measures.
public typealias PairEvaluation = Trainers.PairEvaluation
/// How far a reward model can be trusted.
public typealias RewardCard = Trainers.RewardCard
/// What a run would train on, as ``Commands/inspect(_:rows:)`` hands it out.
public typealias Inspection = Datasets.Inspection
